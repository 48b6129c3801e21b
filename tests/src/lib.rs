//! End-to-end tests of Meshtide.
