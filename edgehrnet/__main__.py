"""``python -m edgehrnet`` is the ``edgehrnet`` command."""

from edgehrnet.cli import main

raise SystemExit(main())
