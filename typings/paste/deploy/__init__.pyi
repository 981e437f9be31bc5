from paste.deploy.loadwsgi import appconfig as appconfig
from paste.deploy.loadwsgi import loadapp as loadapp
from paste.deploy.loadwsgi import loadfilter as loadfilter
from paste.deploy.loadwsgi import loadserver as loadserver
