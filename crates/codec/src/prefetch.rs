//! Asking the processor for memory before it is needed.
//!
//! This is here because it takes `unsafe`. What it pays is measured by the bench `head` of `storage`.

/// Asks for the cache line at `address`, which may be any number. Changes nothing but the time a later access
/// takes; does nothing where there is no such instruction.
#[inline]
pub fn prefetch(address: usize) {
    #[cfg(target_arch = "x86_64")]
    {
        use core::arch::x86_64::{_MM_HINT_T0, _mm_prefetch};
        #[expect(unsafe_code, reason = "there is no safe prefetch")]
        // SAFETY: the instruction is a hint, which reads nothing into the program and does not fault whatever the
        // address is; SSE, which it needs, is part of x86-64.
        unsafe {
            _mm_prefetch::<_MM_HINT_T0>(core::ptr::without_provenance(address));
        }
    }
    #[cfg(not(target_arch = "x86_64"))]
    let _ = address;
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_address_is_taken() {
        for address in [0, 1, usize::MAX, usize::MAX / 2] {
            prefetch(address);
        }
    }
}
