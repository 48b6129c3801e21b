//! Parts of a query that cannot contribute to its result. Nothing reads them, but Prometheus evaluates everything, and
//! an error in them fails the query: series that collide, match groups that are not unique. Those which can fail are
//! run for their errors alone; all others, which is nearly all, are not run.

use super::{Planner, Vector};
use crate::QueryError;
use crate::exec::collect::collect;
use crate::exec::merge_duplicates::MergeDuplicates;
use crate::exec::operator::{Plan, operator_of};
use crate::exec::vector_binary::VectorBinary;

impl Planner {
    /// Remembers that nothing will read this vector.
    pub(crate) fn leave_unread(&self, vector: Vector) {
        if can_fail(&vector.plan) {
            self.unread.lock().push(vector.plan);
        }
    }

    /// Runs what was left unread and can fail.
    ///
    /// # Errors
    /// Those of the parts.
    pub(crate) async fn run_unread(&self) -> Result<(), QueryError> {
        let unread = std::mem::take(&mut *self.unread.lock());
        for plan in &unread {
            collect(plan, &self.task).await?;
        }
        Ok(())
    }
}

/// True if a node of the plan fails for some labels and values.
fn can_fail(plan: &Plan) -> bool {
    operator_of::<MergeDuplicates>(plan).is_some()
        || operator_of::<VectorBinary>(plan).is_some_and(VectorBinary::can_fail)
        || plan.children().into_iter().any(can_fail)
}
