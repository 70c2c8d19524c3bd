"""Tests of the simulated Entra ID tenant."""
