"""Networks: how they are loaded, sampled from, read and scored with."""
