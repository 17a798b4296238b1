"""The pulse wave itself: cleaning, resampling, beats and the labels that follow from them."""
