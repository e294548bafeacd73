"""Media processing: mixing, resampling, concealment, detection, tones, quality; arrays in, arrays out."""
