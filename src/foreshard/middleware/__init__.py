"""The router inside an application: what stands between its requests and its cells."""
