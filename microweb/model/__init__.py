"""The model that both doors share: values and rules, without I/O and without a protocol."""
