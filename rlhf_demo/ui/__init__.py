"""The page: tabs, panels and endpoints, built with Gradio."""
