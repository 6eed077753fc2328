"""The pictures of the page, as inline SVG. Each module draws one."""
