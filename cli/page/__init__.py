"""``courier page``: one HTML file that shows what a stack does and what needs its operator."""
