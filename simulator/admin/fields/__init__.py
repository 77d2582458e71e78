"""One file per field at the top of a document; `answers.py` lists them.

A field is `(Shop, arguments) -> value`: a plain object in the API's shape, a `Page` of a
connection, or None. A mutation's value is its payload. It raises Refused for an error of the whole
document.
"""
