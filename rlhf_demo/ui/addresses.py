"""Where a request comes from, for the limits that count by address."""

import gradio as gr


def address_of(http: gr.Request) -> str:
    """Return the address of the client, as the server sees it."""
    return http.client.host if http.client else "unknown"
