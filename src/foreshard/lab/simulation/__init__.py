"""This module is the room of virtual time: cells, requests and balancers that are computed."""
