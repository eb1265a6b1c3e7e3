"""The demo: both servers, the operator and a story, each step checked through the servers' own APIs."""
