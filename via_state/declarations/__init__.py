"""What users write: state, declared as model fields are."""
