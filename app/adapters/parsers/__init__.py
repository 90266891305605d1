"""One function per format. Runs inside the parser process: imports no settings, no framework, nothing of the server."""
