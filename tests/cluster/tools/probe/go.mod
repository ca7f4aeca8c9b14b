module wye.dev/tools/probe

go 1.26
