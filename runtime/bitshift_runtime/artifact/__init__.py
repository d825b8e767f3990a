"""The facts Job and the fetch container: reading artifacts where they lie."""
