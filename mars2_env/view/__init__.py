"""Looking at runs in a browser: one page made from logs, as a file, served while a run goes on, or in a notebook.

`runs` reads a run folder and makes trees for the page, `page` is the file, `live` serves, `notebook` frames. `records`
tells of each event what the log played again knows of it: the prompt, and why the selector chose (`why`). The page is
written in TypeScript, in the repository's folder `viewer`; what is built of it lies in `built`.
"""
