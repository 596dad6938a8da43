"""From stored results to what people read: terminal tables, figures."""
