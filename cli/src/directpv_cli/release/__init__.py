"""What is made before a release: ``manifests/`` and krew's archive. Run by ``scripts/``, never by the plugin.

Only here the working tree is written; ``tests/unit/cli/release`` and ``kubernetes_install/test_krew.py`` show it.
"""
