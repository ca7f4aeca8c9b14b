"""What users write and read back: the one source of CRDs, reference docs and the twin's checks."""
