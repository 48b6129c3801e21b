//! The allocator of the process.
//!
//! A server runs for months with threads that allocate on one side and free on the other; mimalloc gives memory back in
//! that case, and costs half of what the system's does. It keeps what was freed for a second, mostly to give it out
//! again; [`release_memory`] is for whoever knows better.

use mimalloc::MiMalloc;

#[global_allocator]
static ALLOCATOR: MiMalloc = MiMalloc;

/// Gives all memory that is free back to the operating system, at once: what the calling thread has freed, and what any
/// other has given back before. Takes some milliseconds where that is much.
pub(crate) fn release_memory() {
    mimalloc_ffi::mi_collect(true);
}

#[expect(
    unsafe_code,
    reason = "the crate of the allocator has no name for this function without a feature that would build it anew"
)]
mod mimalloc_ffi {
    // SAFETY: this is how `mimalloc.h` declares it, of the library that is linked as the allocator above. It takes no
    // pointer, has no precondition, and may be called by any thread at any time.
    unsafe extern "C" {
        pub(super) safe fn mi_collect(force: bool);
    }
}
