"""Sound files to waveforms, and waveforms to the features that models take."""
