"""From words to TRs, inside one run at a time: plain arrays in, plain arrays out."""
