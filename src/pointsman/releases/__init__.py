"""Releases: versioned trees of the whole program that stand side by side.  Effects.

::

    ROOT/                                the root of one site
      releases/NAME-VERSION/             one sealed tree: bin/ lib/ etc/ MANIFEST.json
      releases/.NAME-VERSION.XXXX.part   being built; nobody looks at it
      shared/  etc/  var/  log/          what survives
      current -> releases/NAME-VERSION   what serves after a reboot
      releases.log                       who did what, one JSON object a line
      .store/                            the store's own: locks, journal, quarantine

``layout`` and ``manifest`` say what is where, ``tree`` builds, ``store`` keeps.
"""
