"""Parts of the page that several tabs show, or that are outside the tabs."""
