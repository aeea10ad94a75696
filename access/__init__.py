"""Who may enter the admin, and do what there."""
