u
"serve

xPlaceholder*
dtype0"
	variables

v*
serving_default


x
x:0:

self: