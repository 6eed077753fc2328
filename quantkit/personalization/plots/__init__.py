"""The plots of the page, as inline SVG. Each module draws one."""
