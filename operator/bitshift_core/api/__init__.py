"""The resources users write: fields, bounds, CEL rules, conditions, and the CRDs made from them."""
