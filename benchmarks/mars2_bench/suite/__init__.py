"""Environments without sandbox and text: real slips, judged once and kept in tables, and the games played on them."""
