"""Telling somebody outside the admin that something needs a person.

`state` reads how things stand, `rules` says what of it is trouble, `book` keeps who is
to be told of what, and `delivery` tells them by `webhook` or `mail`, in the words of
`texts`.
"""
