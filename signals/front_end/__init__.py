"""From ADC counts to the student's input: the filter as designed, the same in integers, and counts themselves."""
