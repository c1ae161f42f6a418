"""Reward models that are trained on logs: programs of training problems, with what hidden tests found of them.

`examples` reads run folders, `objectives` and `fitting` learn, `calibration` makes probabilities of scores, `measures`
says how good they are, and `reward_model` is what a search asks (spec `rm:FOLDER`). Hidden tests never come in here:
only whether a program passed them, and only of problems that are named in the model's folder, which it then refuses.
"""
