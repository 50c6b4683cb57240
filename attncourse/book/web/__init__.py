"""The web edition: what `attncourse site --build` gives to Sphinx, beside what is in `site/`.

Chapters are the solved notebooks as they are, never executed; the glossary, the papers' tables
and the library's pages are made here when the site is built.
"""
