"""Prompts: roles, skills and templates as files, and what becomes of them for one attempt."""
