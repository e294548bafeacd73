"""mediacontrol: what signalling asks of whoever carries the media; session descriptions pass as text."""
