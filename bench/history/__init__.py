"""History: what runs of the past say, machine by machine, and where times stepped up or down."""
