"""`microweb doctor`: each command that could serve an application, tried, and what came of it.

commands.py    which commands are worth a try
trial.py       one of them, as a process, with one request
log.py         what a server's log tells
reasons.py     whether the command serves, and what its reason means
mend.py        the file to write where it does not
report.py      all of it, row by row; screen.py knows what a row looks like
"""
