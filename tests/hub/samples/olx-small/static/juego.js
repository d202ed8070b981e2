// a script of the course
