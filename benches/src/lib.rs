//! Whole-process benches of Meshtide.
