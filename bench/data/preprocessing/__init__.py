"""From what files hold to what is trained on."""
