"""The services of mysite; etc/service-sources.txt lists their modules."""
