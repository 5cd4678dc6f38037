"""Text to tokens to batches: data sets, tokenizer, spans and the input pipeline."""
