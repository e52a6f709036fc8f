//! Events on the owners of pods, because controllers swallow the warnings of admission.
