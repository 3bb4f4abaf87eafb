"""What gunicorn is told when it is tried, instead of a gunicorn.conf.py in the user's folder."""

bind = "127.0.0.1:0"
control_socket_disable = True  # several run at once; versions that have none do not mind
