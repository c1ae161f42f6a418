"""Looking at runs in a browser: one page made from logs, as a file, or served while a run goes on.

`open_run` reads a run folder, `page` makes the file, `serve` shows a run that goes on. `records` tells of each event
what the log played again knows of it: the prompt, and why the selector chose (`why`). The page itself is written in
TypeScript (folder `viewer` of the repository); what is built of it lies in `built`.
"""

from mars2_env.view.page import page
from mars2_env.view.runs import Run, open_run

__all__ = ["Run", "open_run", "page"]
