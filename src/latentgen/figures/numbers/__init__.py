"""The numbers behind figures: tables as figures need them, averages over runs, order."""
