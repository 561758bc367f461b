"""Plans that the tests of the command line run."""

QUICK = """\
strategy: parallel
steps:
  - id: left
    code: return 1;
  - id: right
    code: return 2;
  - id: sum
    depends_on: [left, right]
    code: return outputs.left + outputs.right;
"""

# Stands still in `second` until the file `go` is there.
HELD = """\
task: Wait for a file
strategy: parallel
steps:
  - id: first
    code: return "kept";
  - id: second
    depends_on: [first]
    code: |
      progress(1, 2, "waiting for the file");
      while ((await files.stat("go")) === null) await sleep(200);
      return `second after ${outputs.first}`;
  - id: third
    depends_on: [second]
    code: return `third after ${outputs.second}`;
"""

APPROVAL = """\
strategy: parallel
steps:
  - id: ask
    requires_approval: true
    code: return "approved";
"""

BUDGET = """\
strategy: parallel
budget: {max_seconds: 1}
steps:
  - id: long
    code: |
      for (let i = 0; i < 100; i++) await sleep(20);
      return "done";
"""
