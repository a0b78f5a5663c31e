"""Parts of the page that more than one tab shows, or that stand beside the tabs."""
